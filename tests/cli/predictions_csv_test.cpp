#include <levin/cli/predictions_csv.h>

#include <torch/torch.h>

#include <levin/cli/predictions.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::predictions_csv_test {

using test::message_of;
using test::says;

class PredictionsCsv : public ::testing::Test {
 protected:
  std::string written(const NamedTensors& predictions,
                      const std::vector<std::string>& class_names = {}) const {
    write_predictions(path_, predictions, class_names);
    return test::read_file(path_);
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "p.csv";
};

TEST_F(PredictionsCsv, has_the_names_of_the_classes) {
  const NamedTensors predictions = {{"class", torch::tensor({1, 0})},
                                    {"probability", torch::tensor({{0.25F, 0.75F}, {0.9F, 0.1F}})}};
  EXPECT_EQ(written(predictions, {"ant", "bee"}),
            "class,class_name,probability_ant,probability_bee\n"
            "1,bee,0.25,0.75\n"
            "0,ant,0.9,0.1\n");
  EXPECT_EQ(written(predictions), "class,probability_0,probability_1\n1,0.25,0.75\n0,0.9,0.1\n");
}

TEST_F(PredictionsCsv, keys_of_rows_are_the_first_column) {
  write_predictions(path_, {{"class", torch::tensor({1, 0})}}, {"ant", "bee"},
                    {"name, place", {"x", "y, z", "left out by a limit"}});
  EXPECT_EQ(test::read_file(path_), "\"name, place\",class,class_name\nx,1,bee\n\"y, z\",0,ant\n");
}

TEST_F(PredictionsCsv, is_written_in_parts_and_put_in_its_place_at_the_end) {
  const auto keys = [](int64_t first, int64_t count) {
    std::vector<std::string> texts;
    for (int64_t i = 0; i < count; ++i) texts.push_back("k" + std::to_string(first + i));
    return texts;
  };
  std::ofstream(path_) << "old";
  {
    levin::PredictionsCsv given_up(path_, {}, {});
    given_up.add({{"class", torch::tensor({1})}});
  }
  EXPECT_EQ(test::read_file(path_), "old");
  levin::PredictionsCsv file(path_, {"ant", "bee"}, {.name = "key", .read = keys});
  file.add({{"class", torch::tensor({1, 0})}});
  file.add({{"class", torch::tensor({1})}});
  EXPECT_TRUE(says(message_of<ConfigError>([&] {
                     file.add({{"class", torch::tensor({{1, 2}})}});
                   }),
                   {"the same columns", "row 3"}));
  EXPECT_EQ(test::read_file(path_), "old");
  file.finish();
  EXPECT_EQ(file.rows(), 3);
  EXPECT_EQ(test::read_file(path_), "key,class,class_name\nk0,1,bee\nk1,0,ant\nk2,1,bee\n");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(PredictionsCsv, names_are_quoted_if_they_need_it) {
  EXPECT_EQ(written({{"class", torch::tensor({0, 1, 2})}}, {"a,b", "say \"a\"", " c"}),
            "class,class_name\n0,\"a,b\"\n1,\"say \"\"a\"\"\"\n2,\" c\"\n");
}

TEST_F(PredictionsCsv, numbers_have_the_digits_it_takes_to_read_them_again) {
  EXPECT_EQ(written({{"f", torch::tensor({0.1F})},
                     {"d", torch::tensor({0.1}, torch::kDouble)},
                     {"h", torch::tensor({0.5}).to(torch::kHalf)},
                     {"b", torch::tensor({true})},
                     {"c", torch::tensor({{7}}, torch::kInt)}}),
            "f,d,h,b,c\n0.1,0.1,0.5,1,7\n");
}

TEST_F(PredictionsCsv, a_number_without_a_name_stands_for_itself) {
  EXPECT_EQ(written({{"class", torch::tensor({2, -1})}}, {"ant", "bee"}),
            "class,class_name\n2,2\n-1,-1\n");
}

TEST_F(PredictionsCsv, what_is_no_table_is_refused_before_anything_is_written) {
  const auto refusal = [&](const NamedTensors& predictions) {
    return message_of<ConfigError>([&] { written(predictions); });
  };
  EXPECT_TRUE(says(refusal({{"image", torch::zeros({2, 3, 3})}}),
                   {"'image' has 3 dimensions", "use .npz"}));
  EXPECT_TRUE(says(refusal({{"a", torch::zeros({2})}, {"b", torch::zeros({3})}}),
                   {"'a' has 2 rows and 'b' has 3"}));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(PredictionsCsv, other_endings_are_refused) {
  EXPECT_NO_THROW(check_output(path_));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { check_output(folder_ / "p.txt"); }),
                   {"must end in .csv, .npz or .npy"}));
}

}  // namespace levin::predictions_csv_test
