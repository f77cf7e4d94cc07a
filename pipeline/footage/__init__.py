"""What tells footage apart from other footage: small pictures at a steady rate, without borders, and how they change."""
