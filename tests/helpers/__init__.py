"""What tests share: problems, references, doubles of services, and programs run as processes."""
