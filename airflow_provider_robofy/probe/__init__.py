"""Finding out how an account answers what Robofy's documentation leaves open, without writing or showing anything."""
