"""Deliveries to receivers of every temper: the real steps over real HTTP, in simulated time."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from itertools import pairwise

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook

from opswatch.adapters.callbacks import HttpCallbacks
from opswatch.adapters.memory import MemoryArm, MemoryQueue, MemoryStore, pump
from opswatch.core.addresses import CallbackRules
from opswatch.core.model import (
    Delivery,
    DeliveryState,
    HttpResponse,
    Policy,
    Registration,
    WakeUp,
)
from opswatch.core.wire import operation_at
from opswatch.ports import World
from opswatch.steps import deliveries_message, poll, redeliver, redeliver_abandoned, register
from tests.receivers import Floods, Receiver, answers, breaking_hellos, closes_early, hangs, receiving
from tests.worlds import ENDPOINT, SECRET, make_world, status_path
