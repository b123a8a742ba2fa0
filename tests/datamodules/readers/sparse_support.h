#pragma once

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <levin/datamodules/readers/sparse_rows.h>

#include "datamodules/readers/support.h"

namespace levin::test {

/// tests/baselines/sparse_readers.json: what scikit-learn, scipy and Vowpal Wabbit made of files.
inline const nlohmann::json& sparse_baselines() {
  static const nlohmann::json json =
      nlohmann::json::parse(read_file(LEVIN_SOURCE_DIR "/tests/baselines/sparse_readers.json"));
  return json;
}

template <class T>
std::vector<T> list_of(const readers::NumberList<T>& list) {
  return {list.span().begin(), list.span().end()};
}

/// The values, also if all are 1, so that they aren't stored.
inline std::vector<float> values_of(const readers::SparseRows& rows) {
  if (rows.values.empty()) return std::vector<float>(rows.indices.size(), 1.0F);
  return list_of(rows.values);
}

inline void expect_rows(const readers::SparseRows& rows, const nlohmann::json& expected) {
  EXPECT_EQ(list_of(rows.offsets), expected["offsets"].get<std::vector<int64_t>>());
  EXPECT_EQ(list_of(rows.indices), expected["indices"].get<std::vector<int32_t>>());
  EXPECT_EQ(values_of(rows), expected["values"].get<std::vector<float>>());
  EXPECT_EQ(rows.columns, expected["columns"].get<int64_t>());
}

inline void expect_same_rows(const readers::SparseRows& a, const readers::SparseRows& b) {
  EXPECT_EQ(list_of(a.offsets), list_of(b.offsets));
  EXPECT_EQ(list_of(a.indices), list_of(b.indices));
  EXPECT_EQ(list_of(a.values), list_of(b.values));
  EXPECT_EQ(list_of(a.targets), list_of(b.targets));
  EXPECT_EQ(list_of(a.weights), list_of(b.weights));
  EXPECT_EQ(list_of(a.qids), list_of(b.qids));
  EXPECT_EQ(a.columns, b.columns);
}

}  // namespace levin::test
