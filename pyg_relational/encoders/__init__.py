"""Pretrained encoders that installed packages ship: loaded late, never downloaded."""
