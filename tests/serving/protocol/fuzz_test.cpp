#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/npy_header.h>
#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/protocol/predict_rows.h>

#include "framework/sanitizer.h"

namespace levin::protocol_fuzz_test {

constexpr int kMutations = test::kAddressSanitizer || test::kThreadSanitizer ? 4000 : 25000;

/// Changes a text at some places: other bytes, bytes left out, parts repeated, tokens put in.
std::string mutated(std::string text, std::mt19937& random) {
  static const std::vector<std::string> tokens = {
      "[",     "]",    "{",  "}",          ",",    "\"", "-1", "9223372036854775808",
      "1e999", "null", "[]", "4294967296", "\\u0", "{}", "\n", "\"\"",
      "true",  "\xff", "0"};
  const auto below = [&random](size_t end) { return static_cast<size_t>(random() % end); };
  const size_t changes = 1 + below(4);
  for (size_t i = 0; i < changes && !text.empty(); ++i) {
    const size_t at = below(text.size());
    switch (random() % 5) {
      case 0:
        text[at] = static_cast<char>(random());
        break;
      case 1:
        text.erase(at, 1 + below(8));
        break;
      case 2:
        text.insert(at, text.substr(below(text.size()), below(16)));
        break;
      case 3:
        text.insert(at, tokens[below(tokens.size())]);
        break;
      default:
        text.replace(at, 1, tokens[below(tokens.size())]);
        break;
    }
  }
  return text;
}

/// What became of the mutations of a text.
struct FuzzCounts {
  int taken = 0;
  int refused = 0;
};

/// Calls `parse` with mutations of `valid`; it returns the tensors that it has read. Anything but a
/// Refusal that it throws fails the test.
template <class Parse>
FuzzCounts fuzz(const std::string& valid, const Parse& parse) {
  std::mt19937 random(16);
  FuzzCounts counts;
  for (int i = 0; i < kMutations; ++i) {
    const std::string text = mutated(valid, random);
    try {
      for (const WireTensor& tensor : parse(text)) {
        if (tensor.type == WireType::bytes) {
          bytes_elements(tensor);
        } else {
          EXPECT_EQ(static_cast<uint64_t>(tensor.elements()) * element_size(tensor.type),
                    tensor.data.size());
        }
        // An element takes at least two bytes of JSON, and at most eight in memory.
        EXPECT_LE(tensor.data.size(), 8 * text.size());
      }
      ++counts.taken;
    } catch (const Refusal& refusal) {
      EXPECT_GE(refusal.status(), 400);
      EXPECT_LT(refusal.status(), 500);
      ++counts.refused;
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what() << "\n" << text;
      break;
    }
  }
  EXPECT_GT(counts.refused, kMutations / 10);
  return counts;
}

InferenceRequest sample() {
  InferenceRequest request{.model = "m", .id = "7"};
  request.inputs.push_back({"x", WireType::fp32, {2, 2}, std::string(16, '\1')});
  WireTensor texts{"t", WireType::bytes, {2}, ""};
  append_bytes_element(texts.data, "ab\"c");
  append_bytes_element(texts.data, "");
  request.inputs.push_back(texts);
  request.inputs.push_back({"n", WireType::int64, {2, 1}, std::string(16, '\2')});
  request.outputs = {{"class", true, 0}, {"probability", {}, 3}};
  request.timeout_us = 2500;
  return request;
}

TEST(ProtocolFuzz, mutated_v2_json_is_read_or_refused) {
  const auto counts = fuzz(write_infer_request(sample(), false).body, [](const std::string& text) {
    return parse_infer_request(text).inputs;
  });
  EXPECT_GT(counts.taken, 0);
}

TEST(ProtocolFuzz, mutated_binary_requests_are_read_or_refused) {
  const auto counts = fuzz(to_wire(sample()),
                           [](const std::string& text) { return request_from_wire(text).inputs; });
  EXPECT_GT(counts.taken, 0);
}

TEST(ProtocolFuzz, mutated_json_rows_are_read_or_refused) {
  const ModelMetadata model{
      .name = "t", .inputs = {{"input", WireType::bytes, {-1, 2}}}, .columns = {"age", "city"}};
  const auto counts =
      fuzz(R"({"rows":[[31,"Rome"],{"city":"Oslo","age":0.5},{"city":null}]})",
           [&](const std::string& text) { return parse_predict_rows("", text, model).inputs; });
  EXPECT_GT(counts.taken, 0);
}

TEST(ProtocolFuzz, mutated_csv_and_npy_are_read_or_refused) {
  const ModelMetadata model{.name = "m", .inputs = {{"input", WireType::fp64, {-1, 2}}}};
  const auto csv = fuzz("a,b\n1,2.5\n\"3\",-4e2\n", [&](const std::string& text) {
    return parse_predict_rows("text/csv", text, model).inputs;
  });
  EXPECT_GT(csv.taken, 0);
  const std::vector<int64_t> shape = {2, 2};
  const auto npy = readers::npy_header(readers::DType::float32, shape) + std::string(16, '\1');
  fuzz(npy, [&](const std::string& text) {
    return parse_predict_rows("application/x-npy", text, model).inputs;
  });
}

}  // namespace levin::protocol_fuzz_test
