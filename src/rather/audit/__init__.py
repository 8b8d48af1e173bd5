"""What a classifier relies on, over a whole set of images, and what of it is suspicious."""

from __future__ import annotations

from rather.audit.findings import Attribute, Audit, Cluster, Estimate, Pair, Place, Region, Share, Suspicion
from rather.audit.gather import audit

__all__ = ["Attribute", "Audit", "Cluster", "Estimate", "Pair", "Place", "Region", "Share", "Suspicion", "audit"]
