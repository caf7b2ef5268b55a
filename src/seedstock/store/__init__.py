"""Physical bytes: staging, durable placement, block checks, reading. Knows keys, not meanings."""
