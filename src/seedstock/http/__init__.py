"""The wire: routes, errors as clients read them, streaming. Calls services; touches no database or store."""
