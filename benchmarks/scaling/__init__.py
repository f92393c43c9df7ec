"""A model of opswatch in Azure: instances, executions, transactions and dollars, in virtual time.

The decisions are the real core's. The queue, the Functions host, its scaler and the storage are
modelled after what `docs/scaling.md` lists. Nothing here was compared with an invoice.
"""
