# A cache by azapi. Its creation takes some minutes; apply.sh posts it to opswatch.
terraform {
  required_version = ">= 1.9"

  required_providers {
    azapi = {
      source  = "Azure/azapi"
      version = "~> 2.6"
    }
  }
}

provider "azapi" {}

variable "resource_group_id" {
  description = "As /subscriptions/…/resourceGroups/…"
  type        = string
}

variable "location" {
  type    = string
  default = "westus"
}

resource "azapi_resource" "cache" {
  type      = "Microsoft.Cache/redisEnterprise@2025-07-01"
  parent_id = var.resource_group_id
  name      = "cache-example"
  location  = var.location

  body = {
    sku        = { name = "Balanced_B0" }
    properties = { publicNetworkAccess = "Disabled", minimumTlsVersion = "1.2" }
  }

  timeouts {
    create = "90m"
  }
}
