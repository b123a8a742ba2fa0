#include <gtest/gtest.h>
#include <levin/framework/formats/png.h>
#include <levin/framework/formats/tensorboard_events.h>
#include <levin/framework/formats/tfrecord.h>

#include <zlib.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace levin::test::tensorboard_events_test {

TEST(TensorBoardEvents, AHistogramCountsEachFiniteValueOnce) {
  std::vector<double> values{
      0.0, 30.0, 1.0, 1.5, 30.0, std::nan(""), std::numeric_limits<double>::infinity()};
  const auto histogram = events::histogram_of(values);
  ASSERT_EQ(histogram.limits.size(), 30U);
  ASSERT_EQ(histogram.counts.size(), 30U);
  EXPECT_EQ(histogram.min, 0.0);
  EXPECT_EQ(histogram.max, 30.0);
  EXPECT_EQ(histogram.sum, 62.5);
  EXPECT_EQ(histogram.sum_squares, 1803.25);
  EXPECT_EQ(histogram.limits.front(), 1.0);
  EXPECT_EQ(histogram.limits.back(), 30.0);
  EXPECT_EQ(histogram.counts[0], 2.0);  // 0 and 1: a limit belongs to the bucket below it
  EXPECT_EQ(histogram.counts[1], 1.0);
  EXPECT_EQ(histogram.counts[29], 2.0);
}

TEST(TensorBoardEvents, AHistogramOfOneValueHasOneBucketAndOneOfNothingHasNone) {
  const std::vector<double> same(4, 2.5);
  EXPECT_EQ(events::histogram_of(same).limits, std::vector<double>{2.5});
  EXPECT_EQ(events::histogram_of(same).counts, std::vector<double>{4.0});
  EXPECT_TRUE(events::histogram_of({}).limits.empty());
  const std::vector<double> nothing{std::nan("")};
  EXPECT_TRUE(events::histogram_of(nothing).limits.empty());
}

TEST(TensorBoardEvents, TheWidestRangeDoesNotOverflow) {
  const double most = std::numeric_limits<double>::max();
  const std::vector<double> values{-most, most};
  for (const double limit : events::histogram_of(values).limits) EXPECT_TRUE(std::isfinite(limit));
}

TEST(TensorBoardEvents, AGraphHasTheBytesOfItsMessage) {
  const std::vector<events::GraphNode> nodes{
      {.name = "a", .op = "in", .shapes = {std::vector<int64_t>{2, 3}}},
      {.name = "b",
       .op = "relu",
       .inputs = {"a:1"},
       .shapes = {std::nullopt},
       .attributes = {{"dim", "1"}}}};
  // The fields by their numbers: a text or a message has its length before it.
  const auto field = [](int number, const std::string& content) {
    return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(content.size())} +
           content;
  };
  const auto attribute = [&](const std::string& name, const std::string& value) {
    return field(5, field(1, name) + field(2, value));
  };
  const auto shapes = [&](const std::string& shape) {
    return attribute("_output_shapes", field(1, field(7, shape)));
  };
  const std::string known = field(2, "\x08\x02") + field(2, "\x08\x03");
  const std::string unknown = "\x18\x01";
  const std::string first = field(1, "a") + field(2, "in") + shapes(known);
  const std::string second = field(1, "b") + field(2, "relu") + field(3, "a:1") +
                             attribute("dim", field(2, "1")) + shapes(unknown);
  const std::string graph = field(1, first) + field(1, second) + field(4, "\x08\x16");
  const std::string event = std::string("\x09\0\0\0\0\0\0\xF0\x3F", 9) + field(4, graph);
  std::string record;
  tfrecord::append(record, event);
  EXPECT_EQ(events::graph(nodes, /*wall_time=*/1.0), record);
}

uint32_t big_endian(const std::string& text, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(text[at + i]);
  return value;
}

TEST(Png, HoldsThePixelsAndChunksWithRightChecksums) {
  const std::vector<uint8_t> pixels{255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const std::string png = png_image(pixels, 3, 2, 3);
  ASSERT_EQ(png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  std::vector<std::string> types;
  std::string data;
  for (size_t at = 8; at < png.size();) {
    const uint32_t length = big_endian(png, at);
    types.push_back(png.substr(at + 4, 4));
    const auto* checked = reinterpret_cast<const Bytef*>(png.data() + at + 4);
    EXPECT_EQ(big_endian(png, at + 8 + length), crc32(0, checked, length + 4)) << types.back();
    if (types.back() == "IDAT") data = png.substr(at + 8, length);
    if (types.back() == "IHDR") {
      EXPECT_EQ(png.substr(at + 8, length), std::string("\0\0\0\x03\0\0\0\x02\x08\x02\0\0\0", 13));
    }
    at += length + 12;
  }
  EXPECT_EQ(types, (std::vector<std::string>{"IHDR", "IDAT", "IEND"}));
  std::vector<uint8_t> rows(20);
  uLongf size = rows.size();
  ASSERT_EQ(uncompress(rows.data(), &size, reinterpret_cast<const Bytef*>(data.data()),
                       static_cast<uLong>(data.size())),
            Z_OK);
  EXPECT_EQ(rows, (std::vector<uint8_t>{0, 255, 0, 0, 0, 255, 0, 0, 0, 255,  //
                                        0, 1,   2, 3, 4, 5,   6, 7, 8, 9}));
}

}  // namespace levin::test::tensorboard_events_test
