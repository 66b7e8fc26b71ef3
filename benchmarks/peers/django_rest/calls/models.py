"""Schedules, as one writes them in Django."""

from django.conf import settings
from django.db import models


class Schedule(models.Model):
    """A task that runs by a cron expression."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=255)
    task = models.CharField(max_length=255)
    cron_expression = models.CharField(max_length=255)
    time_zone = models.CharField(max_length=64, default="UTC")
    parameters = models.JSONField(default=dict)
    is_active = models.BooleanField(default=True)
    next_run_time = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    updated_at = models.DateTimeField(auto_now=True)
