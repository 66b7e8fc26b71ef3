"""Projects: boards, tasks, comments and their service levels."""
