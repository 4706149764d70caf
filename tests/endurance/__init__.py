"""Whether the service lasts: `soak` runs it for long among faults, `chaos` measures what each fault costs."""
