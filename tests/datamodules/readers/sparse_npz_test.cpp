#include <levin/datamodules/readers/sparse_npz.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <levin/datamodules/readers/npy.h>

#include "datamodules/readers/sparse_support.h"

namespace levin::readers::sparse_npz_test {

using test::expect_data_error;
using test::list_of;

/// The arrays of two rows with three entries, as they are with another array in the place of one.
std::vector<NamedArray> arrays_with(const std::string& name, const Array& array) {
  const std::vector<int64_t> offsets = {0, 2, 3};
  const std::vector<int32_t> indices = {0, 2, 1};
  const std::vector<float> values = {1, 2, 3};
  const std::vector<int8_t> targets = {1, 0};
  std::vector<NamedArray> arrays = {{"indptr", Array::of<int64_t>({3}, offsets)},
                                    {"indices", Array::of<int32_t>({3}, indices)},
                                    {"data", Array::of<float>({3}, values)},
                                    {"y", Array::of<int8_t>({2}, targets)}};
  for (auto& item : arrays) {
    if (item.name == name) {
      item.array = array;
      return arrays;
    }
  }
  arrays.push_back({name, array});
  return arrays;
}

SparseRows read_arrays(const std::vector<NamedArray>& arrays,
                       const SparseNpzOptions& options = {}) {
  const test::TemporaryFolder folder;
  write_npz(folder / "a.npz", arrays);
  return read_sparse_npz(folder / "a.npz", options);
}

template <class T>
void expect_refused(const std::string& name, const std::vector<T>& values,
                    const std::string& reason, const SparseNpzOptions& options = {}) {
  const auto array = Array::of<T>({static_cast<int64_t>(values.size())}, values);
  expect_data_error([&] { read_arrays(arrays_with(name, array), options); }, reason);
}

TEST(ReadersSparseNpz, reads_what_scipy_saved_and_names_other_formats) {
  const test::TemporaryFolder folder;
  size_t refused = 0;
  for (const auto& item : test::sparse_baselines()["npz"]) {
    const std::string name = item["name"];
    SCOPED_TRACE(name);
    test::write_text(folder / "a.npz", test::to_text(test::file_of(item)));
    const auto read = [&] {
      return read_sparse_npz(folder / "a.npz", {.sort_indices = name == "unsorted"});
    };
    if (item.contains("offsets")) {
      test::expect_rows(read(), item);
      EXPECT_EQ(read().values.empty(), name == "ones");
      continue;
    }
    expect_data_error(read, "the format of the matrix is '" + name + "'");
    ++refused;
  }
  EXPECT_EQ(refused, 4U);
}

TEST(ReadersSparseNpz, arrays_without_data_are_ones_and_y_holds_the_targets) {
  auto arrays = arrays_with("none", Array::of<float>({1}, std::vector<float>{1}));
  arrays.erase(arrays.begin() + 2);
  const SparseRows rows = read_arrays(arrays);
  EXPECT_TRUE(rows.values.empty());
  EXPECT_EQ(rows.columns, 3);
  EXPECT_EQ(list_of(rows.targets), (std::vector<float>{1, 0}));
  EXPECT_EQ(read_arrays(arrays, {.num_features = 9}).columns, 9);
  const auto named = arrays_with("label", Array::of<double>({2}, std::vector<double>{4, 5}));
  EXPECT_EQ(list_of(read_arrays(named, {.targets = "label"}).targets), (std::vector<float>{4, 5}));
}

TEST(ReadersSparseNpz, arrays_that_break_the_format_are_refused_by_name) {
  expect_refused<int64_t>("indptr", {0, 2, 4}, "array 'indptr': it goes from 0 to 4, but must go");
  expect_refused<int64_t>("indptr", {1, 2, 3}, "array 'indptr': it goes from 1 to 3, but must go");
  expect_refused<int64_t>("indptr", {0, 4, 3}, "array 'indptr': element 2 is below the one");
  expect_refused<int64_t>("indptr", {}, "array 'indptr': it goes from nothing");
  expect_refused<int64_t>("indptr", {0, -2, 3}, "array 'indptr': element 1 is -2");
  expect_refused<int32_t>("indices", {0, -2, 1}, "array 'indices': element 1 is -2, but must be");
  expect_refused<int64_t>("indices", {0, 1LL << 32, 1}, "array 'indices': element 1 is 4294967296");
  expect_refused<float>("indices", {0, 1, 1}, "array 'indices': its elements are float32");
  expect_refused<int32_t>("indices", {2, 0, 1}, "array 'indices': those of row 0 don't rise");
  expect_refused<int32_t>("indices", {2, 2, 1}, "Call matrix.sum_duplicates()");
  expect_refused<float>("data", {1, std::nanf(""), 1}, "array 'data': element 1 is nan");
  expect_refused<double>("data", {1, 1e39, 1}, "array 'data': element 1 is 99999");
  expect_refused<float>("data", {1, 2}, "array 'data'");
  expect_refused<float>("y", {1, 2, 3}, "array 'y'");
  expect_refused<int64_t>("shape", {3, 4}, "array 'shape'");
  expect_refused<int64_t>("shape", {2}, "array 'shape': it is [2], but must be [rows, columns]");
  expect_refused<int64_t>("shape", {2, 2}, "array 'indices': element 1 is 2, but must be");
  expect_refused<int64_t>("shape", {2, 5}, "the matrix has 5 columns, but num_features is 4",
                          {.num_features = 4});
  expect_refused<float>("other", {1}, "it has no array 'label'", {.targets = "label"});
}

TEST(ReadersSparseNpz, a_file_of_other_arrays_says_what_is_missing) {
  const std::vector<float> values = {1};
  expect_data_error(
      [&] {
        read_arrays({{"x", Array::of<float>({1}, values)}});
      },
      "but the file has 'x'; write it with scipy.sparse.save_npz");
}

TEST(ReadersSparseNpz, damage_is_refused_and_never_read_as_other_rows_than_promised) {
  const test::TemporaryFolder folder;
  const Bytes file = test::file_of(test::sparse_baselines()["npz"][0]);
  const size_t refused =
      test::refused_mutations(Bytes(file.end() - 700, file.end()), [&](const Bytes& changed, auto) {
        Bytes whole(file.begin(), file.end() - 700);
        whole.insert(whole.end(), changed.begin(), changed.end());
        // ext4 writes a file to the disk at once if it takes the place of another one's text.
        std::filesystem::remove(folder / "a.npz");
        test::write_text(folder / "a.npz", test::to_text(whole));
        read_sparse_npz(folder / "a.npz").check("a.npz", "");
        return true;
      });
  EXPECT_GT(refused, 1000U);
}

}  // namespace levin::readers::sparse_npz_test
