"""What searches share: descent, losses, attack steps, goals, reference images."""
