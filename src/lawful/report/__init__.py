"""What a person sees: the report page, its figures and tables, the plan, and the progress of a study. Never torch."""
