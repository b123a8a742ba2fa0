#pragma once

#include <string>

#include <levin/serving/protocol/model_metadata.h>
#include <levin/serving/protocol/wire_tensor.h>

namespace levin {

/// Reads lines of CSV for the only input of `model`, see parse_predict_rows. Throws Refusal (400),
/// and DataError for what breaks the rules of CSV.
WireTensor csv_rows(const std::string& body, const ModelMetadata& model);

}  // namespace levin
