"""View models: everything a template may read, already decided and already worded.

A page is one frozen struct that names its template; templates hold no rules beyond showing or hiding.
Times are timezone-aware, sizes are bytes, and every `href` is a path on this host, already quoted.
"""
