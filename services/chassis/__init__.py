"""What every service is bolted onto. It knows no service and no business word."""
