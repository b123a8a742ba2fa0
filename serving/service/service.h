#pragma once

#include <cstdint>

#include <levin/serving/backend/backend.h>
#include <levin/serving/http/http_message.h>

namespace levin {

/// Returns the handler that answers the addresses of a service from `backend`, which must outlive
/// it:
///
///     GET  /                              a page to try the models by hand
///     GET  /v2, /v2/health/live|ready, /v2/models/NAME[/versions/V][/ready|/config|/stats],
///     POST /v2/models/NAME[/versions/V]/infer, /v2/repository/index ...
///                                         the Open Inference Protocol, as Triton speaks it
///     POST /predict, /models/NAME/predict rows as JSON, CSV or .npy
///     GET  /metrics                       Prometheus
///     GET  /openapi.json                  the description of all of these
///
/// Reading the texts of requests takes at most `memory` bytes in all threads together; those that
/// would need more are refused, with 413 if one alone is too large for it, and else with 429. Texts
/// of at most 64 KiB don't count.
HttpHandler service(Backend& backend, int64_t memory = int64_t{1} << 30);

}  // namespace levin
