"""What every compared product's script measures with; standard library only."""
