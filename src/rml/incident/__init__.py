"""What happens once something reached history: the incident, its case file and the casebook."""
