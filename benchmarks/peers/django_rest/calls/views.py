"""Views and serializers of the REST framework."""

import re
from datetime import timedelta

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from rest_framework import serializers, viewsets
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.response import Response

from .models import Schedule

_CRON = re.compile(r"(\S+ ){4}\S+")


class ScheduleSerializer(serializers.ModelSerializer):
    """A schedule in JSON."""

    class Meta:
        """Fields, and which of them are read-only."""

        model = Schedule
        exclude = ("owner",)
        read_only_fields = ("next_run_time",)

    def validate_cron_expression(self, value: str) -> str:
        """Refuse an expression without five fields."""
        if not _CRON.fullmatch(value):
            raise serializers.ValidationError("Five fields are needed.")
        return value


class ScheduleViewSet(viewsets.ModelViewSet):
    """The caller's own schedules."""

    serializer_class = ScheduleSerializer

    def get_queryset(self) -> QuerySet[Schedule]:
        """Return the caller's schedules, newest first."""
        return Schedule.objects.filter(owner=self.request.user).order_by("-created_at")

    def perform_create(self, serializer: ScheduleSerializer) -> None:
        """Store it for the caller."""
        serializer.save(owner=self.request.user, next_run_time=timezone.now() + timedelta(hours=1))


@api_view(["GET"])
@authentication_classes([])
@permission_classes([])
def ping(_: HttpRequest) -> Response:
    """Answer a health check."""
    return Response({"status": "ok"})
