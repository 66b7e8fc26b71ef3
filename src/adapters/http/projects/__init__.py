"""Projects, boards, tasks and comments over HTTP."""
