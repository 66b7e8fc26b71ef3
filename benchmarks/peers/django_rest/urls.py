"""The routes of the compared Django project."""

from calls.views import ScheduleViewSet, ping
from django.urls import include, path
from rest_framework.routers import SimpleRouter
from rest_framework_simplejwt.views import TokenObtainPairView

router = SimpleRouter()
router.register("schedules", ScheduleViewSet, basename="schedule")
urlpatterns = [
    path("ping", ping),
    path("login", TokenObtainPairView.as_view()),
    path("", include(router.urls)),
]
