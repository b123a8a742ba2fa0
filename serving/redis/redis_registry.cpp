#include <levin/serving/redis/redis_registry.h>

#include <exception>
#include <utility>

#include <levin/framework/core/number_in.h>
#include <levin/framework/core/value.h>

namespace levin {
namespace {

Value::Array packed_shape(const std::vector<int64_t>& shape) {
  Value::Array sizes;
  for (const int64_t size : shape) sizes.emplace_back(size);
  return sizes;
}

std::vector<int64_t> unpacked_shape(const Value& value) {
  std::vector<int64_t> shape;
  for (const auto& size : value.as_array()) shape.push_back(size.as_int());
  return shape;
}

Value::Object packed_metadata(const TensorMetadata& tensor) {
  return {{"name", tensor.name},
          {"datatype", name_of(tensor.type)},
          {"shape", packed_shape(tensor.shape)}};
}

std::vector<TensorMetadata> unpacked_metadata(const Value& list) {
  std::vector<TensorMetadata> tensors;
  for (const auto& each : list.as_array()) {
    const auto type = wire_type(each.at("datatype").as_string());
    tensors.push_back({each.at("name").as_string(), type.value_or(WireType::fp32),
                       unpacked_shape(each.at("shape"))});
  }
  return tensors;
}

Value::Array packed_texts(const std::vector<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

std::vector<std::string> unpacked_texts(const Value& list) {
  std::vector<std::string> texts;
  for (const auto& each : list.as_array()) texts.push_back(each.as_string());
  return texts;
}

}  // namespace

std::string models_json(const std::vector<ModelMetadata>& models) {
  Value::Array list;
  for (const auto& each : models) {
    Value::Array inputs;
    for (const auto& tensor : each.inputs) inputs.emplace_back(packed_metadata(tensor));
    Value::Array outputs;
    for (const auto& tensor : each.outputs) outputs.emplace_back(packed_metadata(tensor));
    list.emplace_back(Value::Object{{"name", each.name},
                                    {"version", each.version},
                                    {"platform", each.platform},
                                    {"inputs", std::move(inputs)},
                                    {"outputs", std::move(outputs)},
                                    {"kind", static_cast<int64_t>(each.kind)},
                                    {"class_names", packed_texts(each.class_names)},
                                    {"columns", packed_texts(each.columns)},
                                    {"bytes_per_row", each.bytes_per_row},
                                    {"max_batch", each.max_batch},
                                    {"delay_us", each.delay_us}});
  }
  return Value(std::move(list)).to_json();
}

std::vector<ModelMetadata> models_of_json(std::string_view json) {
  try {
    std::vector<ModelMetadata> models;
    for (const auto& each : Value::from_json(json).as_array()) {
      ModelMetadata model{each.at("name").as_string(), each.at("version").as_string(),
                          each.at("platform").as_string(), unpacked_metadata(each.at("inputs")),
                          unpacked_metadata(each.at("outputs"))};
      const int64_t kind = each.at("kind").as_int();
      if (kind >= 0 && kind <= static_cast<int64_t>(InputKind::table)) {
        model.kind = static_cast<InputKind>(kind);
      }
      model.class_names = unpacked_texts(each.at("class_names"));
      model.columns = unpacked_texts(each.at("columns"));
      model.bytes_per_row = each.at("bytes_per_row").as_int();
      // Processes of older versions don't tell how they make batches.
      if (each.contains("max_batch")) model.max_batch = each.at("max_batch").as_int();
      if (each.contains("delay_us")) model.delay_us = each.at("delay_us").as_int();
      models.push_back(std::move(model));
    }
    return models;
  } catch (const std::exception&) {
    return {};
  }
}

std::map<std::string, std::vector<ModelMetadata>> living_models(RedisConnection& redis,
                                                                const RedisNames& names,
                                                                std::string_view except) {
  const RedisReply workers = redis.ask({"HGETALL", names.workers()});
  const size_t count = workers.elements.size() / 2;
  for (size_t i = 0; i < count; ++i) {
    redis.append({"EXISTS", names.worker(workers.elements[2 * i].text)});
  }
  std::map<std::string, std::vector<ModelMetadata>> living;
  for (size_t i = 0; i < count; ++i) {
    const std::string& worker = workers.elements[2 * i].text;
    if (redis.read().integer != 1 || worker == except) continue;
    living.emplace(worker, models_of_json(workers.elements[2 * i + 1].text));
  }
  return living;
}

bool is_older_version(std::string_view a, std::string_view b) {
  const auto number_a = number_in<uint64_t>(a);
  const auto number_b = number_in<uint64_t>(b);
  if (number_a && number_b && *number_a != *number_b) return *number_a < *number_b;
  if (number_a.has_value() != number_b.has_value()) return number_a.has_value();
  return a < b;
}

const std::vector<StatisticsCounter>& statistics_counters() {
  static const std::vector<StatisticsCounter> kCounters = {
      {"success", &ModelStatistics::success},
      {"inferences", &ModelStatistics::inferences},
      {"executions", &ModelStatistics::executions},
      {"request_ns", &ModelStatistics::request_ns},
      {"queue_ns", &ModelStatistics::queue_ns},
      {"compute_input_ns", &ModelStatistics::compute_input_ns},
      {"compute_infer_ns", &ModelStatistics::compute_infer_ns},
      {"compute_output_ns", &ModelStatistics::compute_output_ns},
  };
  return kCounters;
}

}  // namespace levin
