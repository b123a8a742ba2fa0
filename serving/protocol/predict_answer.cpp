#include <levin/serving/protocol/predict_rows.h>

#include <cstdint>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include <levin/datamodules/readers/npy_header.h>
#include <levin/framework/core/csv_cell.h>
#include <levin/serving/protocol/json_text.h>
#include <levin/serving/protocol/tensor_numbers.h>
#include <levin/serving/protocol/weighted_list.h>

namespace levin {

namespace {

/// The outputs of an answer as people read them.
class PlainOutputs {
 public:
  PlainOutputs(const InferenceResponse& response, const ModelMetadata& model)
      : response_(response), names_(model.class_names) {
    for (const auto& output : response.outputs) {
      if (output.name == "class" && output.shape.size() == 1 && is_integer(output.type)) {
        class_ = &output;
      }
      if (output.name == "probability" && output.shape.size() == 2) probability_ = &output;
    }
    // Only together do they have the meaning that those of a classifier have.
    if (class_ == nullptr || probability_ == nullptr) class_ = probability_ = nullptr;
    if (class_ != nullptr && class_->rows() != probability_->rows()) {
      class_ = probability_ = nullptr;
    }
  }

  std::string json() const;
  std::string csv() const;
  std::string npy() const;

 private:
  static bool is_integer(WireType type) {
    return type >= WireType::uint8 && type <= WireType::int64;
  }
  /// The number of elements of a row.
  static size_t width(const WireTensor& output) {
    size_t product = 1;
    for (size_t i = 1; i < output.shape.size(); ++i) {
      product *= static_cast<size_t>(output.shape[i]);
    }
    return product;
  }
  int64_t rows() const { return response_.outputs.empty() ? 0 : response_.outputs.front().rows(); }
  bool is_plain(const WireTensor& output) const {
    return &output != class_ && &output != probability_;
  }
  std::optional<std::string> name_of_class(size_t row) const {
    const double number = number_at(*class_, row);
    if (number < 0.0 || number >= static_cast<double>(names_.size())) return {};
    return names_[static_cast<size_t>(number)];
  }
  void append_values(std::string& json, const WireTensor& output, size_t row, bool flat) const;
  void append_classification(std::string& json, size_t row) const;
  void append_csv_header(std::string& text) const;

  const InferenceResponse& response_;
  const std::vector<std::string>& names_;
  const WireTensor* class_ = nullptr;
  const WireTensor* probability_ = nullptr;
};

/// A number of JSON, or null for what isn't finite.
std::string json_number_at(const WireTensor& tensor, size_t index) {
  const auto text = text_at(tensor, index);
  return text == "NaN" || text.back() == 'y' ? "null" : text;
}

void PlainOutputs::append_values(std::string& json, const WireTensor& output, size_t row,
                                 bool flat) const {
  std::vector<std::string_view> texts;
  if (output.type == WireType::bytes) texts = bytes_elements(output);
  const size_t count = width(output);
  const auto append = [&](size_t index) {
    if (output.type == WireType::bytes) return append_json(json, texts[index]);
    json += json_number_at(output, index);
  };
  if (!flat && output.shape.size() == 1) return append(row);
  json += '[';
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) json += ',';
    append(row * count + i);
  }
  json += ']';
}

void PlainOutputs::append_classification(std::string& json, size_t row) const {
  const double number = number_at(*class_, row);
  const size_t classes = width(*probability_);
  json += "\"class\":" + text_at(*class_, row);
  if (const auto name = name_of_class(row)) {
    json += ",\"class_name\":";
    append_json(json, std::string_view(*name));
  }
  if (number >= 0.0 && number < static_cast<double>(classes)) {
    const size_t index = row * classes + static_cast<size_t>(number);
    json += ",\"probability\":" + json_number_at(*probability_, index);
  }
  json += ",\"probabilities\":";
  append_values(json, *probability_, row, true);
}

std::string PlainOutputs::json() const {
  std::string json = "{\"model\":";
  append_json(json, std::string_view(response_.model));
  json += ",\"version\":";
  append_json(json, std::string_view(response_.version));
  json += ",\"predictions\":[";
  for (size_t row = 0; row < static_cast<size_t>(rows()); ++row) {
    json += row > 0 ? ",{" : "{";
    if (class_ != nullptr) append_classification(json, row);
    bool is_first = class_ == nullptr;
    for (const auto& output : response_.outputs) {
      if (!is_plain(output)) continue;
      if (!is_first) json += ',';
      is_first = false;
      append_json_key(json, output.name);
      append_values(json, output, row, false);
    }
    json += '}';
  }
  return json + "]}";
}

void PlainOutputs::append_csv_header(std::string& text) const {
  std::vector<std::string> columns;
  if (class_ != nullptr) {
    columns.emplace_back("class");
    if (!names_.empty()) columns.emplace_back("class_name");
    for (size_t i = 0; i < width(*probability_); ++i) {
      columns.push_back("probability_" + (i < names_.size() ? names_[i] : fmt::format("{}", i)));
    }
  }
  for (const auto& output : response_.outputs) {
    if (!is_plain(output)) continue;
    const size_t count = width(output);
    for (size_t i = 0; i < count; ++i) {
      columns.push_back(count == 1 ? output.name : fmt::format("{}_{}", output.name, i));
    }
  }
  for (size_t i = 0; i < columns.size(); ++i) text += (i > 0 ? "," : "") + csv_cell(columns[i]);
  text += '\n';
}

std::string PlainOutputs::csv() const {
  std::string text;
  append_csv_header(text);
  for (size_t row = 0; row < static_cast<size_t>(rows()); ++row) {
    std::string line;
    const auto add = [&](const std::string& cell) { line += cell + ","; };
    if (class_ != nullptr) {
      add(text_at(*class_, row));
      if (!names_.empty()) add(csv_cell(name_of_class(row).value_or(text_at(*class_, row))));
      const size_t classes = width(*probability_);
      for (size_t i = 0; i < classes; ++i) add(text_at(*probability_, row * classes + i));
    }
    for (const auto& output : response_.outputs) {
      if (!is_plain(output)) continue;
      const size_t count = width(output);
      std::vector<std::string_view> texts;
      if (output.type == WireType::bytes) texts = bytes_elements(output);
      for (size_t i = row * count; i < (row + 1) * count; ++i) {
        add(texts.empty() ? text_at(output, i) : csv_cell(std::string(texts[i])));
      }
    }
    if (!line.empty()) line.pop_back();
    text += line + "\n";
  }
  return text;
}

std::string PlainOutputs::npy() const {
  if (response_.outputs.empty()) throw Refusal::malformed("the model has no output");
  const auto& output = probability_ != nullptr ? *probability_ : response_.outputs.front();
  using readers::DType;
  if (output.type == WireType::bytes) {
    throw Refusal(406, "the answer is text, which .npy can't hold; ask for JSON or CSV");
  }
  if (output.type != WireType::bf16) {
    constexpr DType kTypes[] = {DType::bool_,  DType::uint8,   DType::uint16,  DType::uint32,
                                DType::uint64, DType::int8,    DType::int16,   DType::int32,
                                DType::int64,  DType::float16, DType::float32, DType::float32,
                                DType::float64};
    return readers::npy_header(kTypes[static_cast<size_t>(output.type)], output.shape) +
           output.data;
  }
  WireTensor floats{.shape = output.shape};
  for (size_t i = 0; i < output.data.size() / 2; ++i) append_number(floats, number_at(output, i));
  return readers::npy_header(DType::float32, output.shape) + floats.data;
}

enum class AnswerFormat { json, csv, npy };

/// The format that the header Accept wants most; of those it wants as much, the first. JSON if it
/// wants none of them.
AnswerFormat wanted_format(std::string_view accept) {
  AnswerFormat wanted = AnswerFormat::json;
  double best = 0.0;
  for_each_weighted(accept, [&](std::string_view type, double weight) {
    const bool is_json = type == "application/json" || type == "application/*" || type == "*/*";
    const bool is_csv = type == "text/csv" || type == "text/*";
    if (!is_json && !is_csv && type != "application/x-npy") return;
    if (!(weight > best)) return;
    best = weight;
    wanted = is_json ? AnswerFormat::json : is_csv ? AnswerFormat::csv : AnswerFormat::npy;
  });
  return wanted;
}

}  // namespace

PredictAnswer write_predict_answer(const InferenceResponse& response, const ModelMetadata& model,
                                   std::string_view accept) {
  const PlainOutputs outputs(response, model);
  switch (wanted_format(accept)) {
    case AnswerFormat::csv:
      return {"text/csv; charset=utf-8", outputs.csv()};
    case AnswerFormat::npy:
      return {"application/x-npy", outputs.npy()};
    case AnswerFormat::json:
      break;
  }
  return {"application/json", outputs.json()};
}

}  // namespace levin
