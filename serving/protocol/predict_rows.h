#pragma once

#include <string>
#include <string_view>

#include <levin/serving/protocol/inference.h>
#include <levin/serving/protocol/model_metadata.h>

/// Plain rows, which need no knowledge of tensors: what POST /predict takes and answers.
namespace levin {

/// Reads rows for the only input of `model`:
///
/// - JSON, {"rows": [[...], ...]} or {"instances": ...}. A row has the shape of the model's rows or
///   is flat: an image may be [28][28] or 784 numbers. For a table, a row has a cell for each
///   column, a text or a number, or is an object {"column": cell}; null and columns that an object
///   lacks are missing values.
/// - CSV, with a line for each row. The first line may name the columns; those of a table may then
///   be in any order.
/// - .npy, an array [rows, ...] of numbers, which keep their type; or one row.
///
/// The format is that of `content_type`: application/json, text/csv, application/x-npy or
/// application/octet-stream; without one of these, .npy and JSON are known by their first bytes,
/// and anything else that says text/plain or application/x-www-form-urlencoded (as curl does by
/// default) is CSV.
///
/// Throws Refusal: 400 if the body can't be read or doesn't fit the model, saying what and where;
/// 415 for any other type.
InferenceRequest parse_predict_rows(std::string_view content_type, const std::string& body,
                                    const ModelMetadata& model);

/// An answer to plain rows.
struct PredictAnswer {
  std::string content_type{};
  std::string body{};
};

/// Writes an answer in the format that the header Accept names: text/csv, application/x-npy, or
/// else JSON:
///
///     {"model": "digits", "version": "1", "predictions": [
///       {"class": 3, "class_name": "three", "probability": 0.98, "probabilities": [...]}]}
///
/// "class_name" is there if the classes have names, and "probability" is that of the class. Outputs
/// of other models are members by their names, a number or a flat array: {"value": 2.5}. What isn't
/// a finite number is null. CSV has a header line, and a column for each number, named as in the
/// files of `levin predict` (PredictionsCsv); .npy has the probabilities, or else the first output.
PredictAnswer write_predict_answer(const InferenceResponse& response, const ModelMetadata& model,
                                   std::string_view accept = {});

}  // namespace levin
