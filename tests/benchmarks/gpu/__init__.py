"""What training costs on a GPU, beside plain writings of the published steps: `make bench-gpu`."""
