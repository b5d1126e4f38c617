"""What is known of every instance, slide, job and delivery: the tables behind the gateway."""
