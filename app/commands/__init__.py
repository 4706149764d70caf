"""What commands do, beyond serving: `check.py` a live instance, `embed.py` texts and pictures without one."""
