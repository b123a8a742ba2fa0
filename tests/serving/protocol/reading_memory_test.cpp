#include <levin/serving/protocol/reading_memory.h>

#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <levin/serving/protocol/infer_messages.h>
#include <levin/serving/protocol/predict_rows.h>

#include "framework/peak_memory.h"
#include "framework/sanitizer.h"

namespace levin::reading_memory_test {

constexpr int64_t kBytes = int64_t{4} << 20;

/// `element` as often as it fits into kBytes, with commas between.
std::string repeated(std::string_view element, int64_t& count) {
  count = kBytes / static_cast<int64_t>(element.size() + 1);
  std::string text;
  text.reserve(kBytes);
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) text += ',';
    text += element;
  }
  return text;
}

/// A request whose tensor has `element` as all of its elements.
std::string request_of(std::string_view type, std::string_view element) {
  int64_t count = 0;
  const std::string data = repeated(element, count);
  return R"({"inputs":[{"name":"x","shape":[)" + std::to_string(count) + R"(],"datatype":")" +
         std::string(type) + R"(","data":[)" + data + "]}]}";
}

/// The bytes by which the memory of the process grows for a moment while `read` runs.
template <class Read>
int64_t growth(const Read& read) {
  ::malloc_trim(0);  // so that no memory that was used before counts as there
  test::forget_peak();
  const int64_t before = test::peak_memory();
  read();
  return test::peak_memory() - before;
}

TEST(ReadingMemory, is_what_the_reading_of_json_takes_at_most) {
  if (test::kAddressSanitizer || test::kThreadSanitizer)
    GTEST_SKIP() << "it has a memory of its own";
  for (const std::string& text :
       {request_of("FP64", "0"), request_of("FP32", "0.10000000149011612"),
        request_of("BYTES", "\"\""), request_of("BYTES", '"' + std::string(100, 'x') + '"'),
        request_of("INT64", "-1"), request_of("FP64", "NaN"), request_of("FP64", "Infinity")}) {
    InferenceRequest request;
    const int64_t grown = growth([&] { request = parse_infer_request(text); });
    EXPECT_GT(request.rows(), 0);
    EXPECT_LE(grown, reading_memory(text)) << text.substr(0, 100);
    EXPECT_GE(grown, kBytes / 8) << text.substr(0, 100);  // it measures something
  }
}

TEST(ReadingMemory, is_what_the_reading_of_rows_takes_at_most) {
  if (test::kAddressSanitizer || test::kThreadSanitizer)
    GTEST_SKIP() << "it has a memory of its own";
  ModelMetadata model{.name = "m", .version = "1", .inputs = {{"x", WireType::fp64, {-1, 1}}}};
  int64_t count = 0;
  const std::string rows = R"({"rows":[)" + repeated("[0]", count) + "]}";
  const std::string objects = R"({"rows":[)" + repeated("{\"a\":0}", count) + "]}";
  std::string csv;
  for (int64_t i = 0; i < kBytes / 2; ++i) csv += "0\n";
  const auto expect_bound = [&](std::string_view type, const std::string& text) {
    InferenceRequest request;
    const int64_t grown = growth([&] { request = parse_predict_rows(type, text, model); });
    EXPECT_GT(request.rows(), 0);
    EXPECT_LE(grown, reading_memory(text)) << text.substr(0, 100);
    EXPECT_GE(grown, kBytes / 8) << text.substr(0, 100);
  };
  expect_bound("application/json", rows);
  expect_bound("text/csv", csv);
  model.inputs[0] = {"x", WireType::bytes, {-1, 1}};
  model.columns = {"a"};
  expect_bound("application/json", objects);
}

// The largest shape that a text may claim takes no more than its own elements would.
TEST(ReadingMemory, bounds_what_a_shape_without_data_takes) {
  if (test::kAddressSanitizer || test::kThreadSanitizer)
    GTEST_SKIP() << "it has a memory of its own";
  int64_t count = 0;
  const std::string data = repeated("0.10000000149011612", count);
  const std::string text = R"({"inputs":[{"name":"x","shape":[)" +
                           std::to_string(kBytes / 2 - 100) + R"(],"datatype":"FP64","data":[)" +
                           data + "]}]}";
  const int64_t grown = growth([&] { EXPECT_THROW(parse_infer_request(text), Refusal); });
  EXPECT_LE(grown, reading_memory(text));
}

TEST(ReadingMemory, counts_more_for_texts_of_short_numbers) {
  const std::string many = request_of("FP64", "0");
  const std::string few = request_of("FP64", "0.10000000149011612");
  EXPECT_LT(reading_memory(few), 8 * static_cast<int64_t>(few.size()));
  EXPECT_LT(reading_memory(many), 26 * static_cast<int64_t>(many.size()));
  EXPECT_GT(reading_memory(many), 20 * static_cast<int64_t>(many.size()));
  EXPECT_EQ(reading_memory("[0]"), 3 * 45);
}

}  // namespace levin::reading_memory_test
