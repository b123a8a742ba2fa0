#pragma once

/// Every metric that Levin ships, and their list by name.
#include <levin/framework/metrics/class_scores.h>
#include <levin/framework/metrics/metric_list.h>
#include <levin/framework/metrics/probability_metrics.h>
#include <levin/framework/metrics/ranking.h>
#include <levin/framework/metrics/regression_metrics.h>
