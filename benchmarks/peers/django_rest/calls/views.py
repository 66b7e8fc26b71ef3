"""Views and serializers, as one writes them with the REST framework."""

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
        """Which fields, and which of them one may write."""

        model = Schedule
        exclude = ("owner",)
        read_only_fields = ("next_run_time",)

    def validate_cron_expression(self, value: str) -> str:
        """Refuse what has not five fields."""
        if not _CRON.fullmatch(value):
            raise serializers.ValidationError("Five fields are needed.")
        return value


class ScheduleViewSet(viewsets.ModelViewSet):
    """The caller's own schedules."""

    serializer_class = ScheduleSerializer

    def get_queryset(self) -> QuerySet[Schedule]:
        """Return the caller's, the newest first."""
        return Schedule.objects.filter(owner=self.request.user).order_by("-created_at")

    def perform_create(self, serializer: ScheduleSerializer) -> None:
        """Keep it as the caller's."""
        serializer.save(owner=self.request.user, next_run_time=timezone.now() + timedelta(hours=1))


@api_view(["GET"])
@authentication_classes([])
@permission_classes([])
def ping(_: HttpRequest) -> Response:
    """Answer that the process is there."""
    return Response({"status": "ok"})
