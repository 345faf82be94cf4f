"""From Relax to files: the memory plan, generated code, schedules, linking."""
