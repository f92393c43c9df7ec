"""The page: static files in `files`, which `opswatch.web.page` serves."""
