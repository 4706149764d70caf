"""HTTP in, HTTP out: routes, schemas, and the form of errors."""
