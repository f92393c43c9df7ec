"""The HTTP API and the page's files, without a host: a request value in, a response value out."""
