"""The hub's pages: view models, templates and static files; the same services as `http/` feed them."""
