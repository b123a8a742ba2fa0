#include <gtest/gtest.h>
#include <levin/framework/formats/protobuf.h>
#include <levin/framework/formats/tfrecord.h>

#include <string>
#include <vector>

namespace levin::test::tfrecord_test {

// The vectors of RFC 3720, B.4.
TEST(TFRecord, TheChecksumIsCrc32c) {
  EXPECT_EQ(tfrecord::crc32c("123456789"), 0xE3069283U);
  EXPECT_EQ(tfrecord::crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(tfrecord::crc32c(std::string(32, '\xff')), 0x62A8AB43U);
  EXPECT_EQ(tfrecord::crc32c(""), 0U);
}

TEST(TFRecord, FindsTheEndOfTheLastWholeRecordWhereverAFileIsCut) {
  std::string file;
  std::vector<size_t> ends{0};
  for (const char* data : {"first", "", "a longer third record"}) {
    tfrecord::append(file, data);
    ends.push_back(file.size());
  }
  for (size_t cut = 0; cut <= file.size(); ++cut) {
    size_t expected = 0;
    for (const size_t end : ends) expected = end <= cut ? end : expected;
    EXPECT_EQ(tfrecord::end_of_records(file, cut), expected) << "the limit is " << cut;
    EXPECT_EQ(tfrecord::end_of_records(file.substr(0, cut), file.size()), expected)
        << "cut at " << cut;
  }
}

TEST(TFRecord, AFileOfAnotherKindHasNoRecords) {
  const std::string text = "epoch,step,train_loss\n0,49,0.5\n";
  EXPECT_EQ(tfrecord::end_of_records(text, text.size()), 0U);
}

// The examples of https://protobuf.dev/programming-guides/encoding.
TEST(Protobuf, FieldsHaveTheBytesOfTheSpecification) {
  std::string out;
  protobuf::varint(out, 1, 150);
  EXPECT_EQ(out, std::string("\x08\x96\x01"));
  out.clear();
  protobuf::bytes(out, 2, "testing");
  EXPECT_EQ(out, "\x12\x07testing");
  out.clear();
  protobuf::varint(out, 1, -2);
  EXPECT_EQ(out, "\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  out.clear();
  protobuf::fixed32(out, 2, 1.0F);
  EXPECT_EQ(out, std::string("\x15\x00\x00\x80\x3f", 5));
  out.clear();
  protobuf::fixed64(out, 1, 1.0);
  EXPECT_EQ(out, std::string("\x09\x00\x00\x00\x00\x00\x00\xf0\x3f", 9));
}

}  // namespace levin::test::tfrecord_test
