"""The one place where parts are joined: processes, roles, supervision."""
