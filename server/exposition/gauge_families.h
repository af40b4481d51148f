// Queue gauges as families of a page.
#pragma once

#include <prometheus/metric_family.h>

#include <vector>

#include "server/gauges/queue_gauges.h"

namespace wheelpit {

std::vector<prometheus::MetricFamily> ToPageFamilies(const std::vector<GaugeFamily>& families);

}  // namespace wheelpit
