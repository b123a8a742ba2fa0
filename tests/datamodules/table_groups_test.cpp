#include "datamodules/loader_support.h"
#include "datamodules/readers/support.h"
#include "framework/message_of.h"
#include "framework/support.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/datamodules/table.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/dataset.h>
#include <levin/models/linear_regression.h>
#include <levin/models/many_regressions.h>

// Groups of the rows of a table, which a column names by texts.

namespace levin::table_groups_test {

using test::message_of;
using test::read_all;
using test::same_bits;
using test::says;
using test::TemporaryFolder;
using test::write_text;
using Names = std::vector<std::string>;

class TableGroups : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) const {
    write_text(folder_ / name, text);
    return (folder_ / name).string();
  }
  /// 60 rows of three regions, in each of which the price depends on the area in another way.
  std::string sales() const {
    std::string text = "id,region,area,price\n";
    for (int64_t i = 0; i < 60; ++i) {
      const int64_t g = i % 3;
      const double area = static_cast<double>((37 * i) % 60);
      const double price = static_cast<double>(g + 1) * area + 5.0 * static_cast<double>(i % 4);
      text += fmt::format("{},{},{},{}\n", i,
                          Names{"west", "east, far", "north"}[static_cast<size_t>(g)], area, price);
    }
    return file("sales.csv", quoted(text));
  }
  TableDataModuleOptions options(bool stream = false) const {
    TableDataModuleOptions o;
    o.x = sales();
    o.target = "price";
    o.key = "id";
    o.group = "region";
    o.target_type = "value";
    o.val_split = o.test_split = 0.0;
    o.shuffle = false;
    o.dtype = "float64";
    o.stream = stream;
    return o;
  }
  History fit(Module& module, DataModule& data) const {
    module.to(torch::kDouble);
    Trainer trainer(
        {.accelerator = "cpu", .max_epochs = 200, .default_root_dir = folder_.path().string()});
    return trainer.fit(module, data);
  }
  TemporaryFolder folder_;

 private:
  static std::string quoted(std::string text) {
    for (size_t at = 0; (at = text.find("east, far", at)) != text.npos; at += 11) {
      text.replace(at, 9, "\"east, far\"");
    }
    return text;
  }
};

TEST_F(TableGroups, are_numbered_in_the_order_of_their_names_and_are_no_features) {
  TableDataModule memory(options());
  TableDataModule stream(options(true));
  EXPECT_EQ(memory.group_names(), (Names{"east, far", "north", "west"}));
  EXPECT_EQ(memory.feature_names(), Names{"area"});
  const auto rows = read_all(memory.train_dataloader());
  EXPECT_EQ(rows["group"].scalar_type(), torch::kLong);
  EXPECT_TRUE(torch::equal(rows["group"], torch::tensor({2, 0, 1}).repeat({20})));
  for (const auto stage : {Stage::fit, Stage::predict}) {
    memory.setup(stage);
    stream.setup(stage);
    const bool is_fit = stage == Stage::fit;
    const auto a = read_all(is_fit ? memory.train_dataloader() : memory.predict_dataloader());
    const auto b = read_all(is_fit ? stream.train_dataloader() : stream.predict_dataloader());
    EXPECT_TRUE(same_bits(a["group"], b["group"]));
    EXPECT_TRUE(same_bits(a.input(), b.input()));
  }
  EXPECT_EQ(stream.fitted(), memory.fitted());
}

TEST_F(TableGroups, that_are_whole_numbers_are_in_the_order_of_the_numbers) {
  auto o = options();
  o.x = file("numbers.csv", "region,area,price\n10,1,1\n2,2,2\n2.0,3,1\n-1,4,3\n");
  o.key = "";
  TableDataModule data(o);
  EXPECT_EQ(data.group_names(), (Names{"-1", "2", "10"}));
  EXPECT_TRUE(
      torch::equal(read_all(data.train_dataloader())["group"], torch::tensor({2, 1, 1, 0})));
}

TEST_F(TableGroups, of_a_checkpoint_are_those_of_training_and_others_are_refused_with_their_line) {
  TableDataModule trained(options());
  trained.setup(Stage::fit);
  const auto state = trained.fitted_state();
  for (const bool stream : {false, true}) {
    const auto groups = [&](const std::string& text) {
      TableDataModule data({.x_test = file("new.csv", text), .stream = stream});
      data.load_fitted_state(state);
      data.setup(Stage::predict);
      EXPECT_EQ(data.group_names(), trained.group_names());
      return read_all(data.predict_dataloader())["group"];
    };
    EXPECT_TRUE(
        torch::equal(groups("id,area,region\n7,1,west\n8,2,north\n"), torch::tensor({2, 1})));
    EXPECT_TRUE(
        says(message_of<DataError>([&] { groups("id,area,region\n7,1,west\n8,2,south\n"); }),
             {"new.csv, line 3, column 3 (region)", "'south'", "'north'", "val_split"}));
    EXPECT_TRUE(says(message_of<DataError>([&] { groups("id,area,region\n7,1,\n"); }),
                     {"new.csv, line 2, column 3 (region)", "the group is missing"}));
    EXPECT_TRUE(says(message_of<DataError>([&] { groups("id,area\n7,1\n"); }), {"region"}));
  }
}

TEST_F(TableGroups, that_cannot_be_are_refused) {
  auto o = options();
  o.x = file("gap.csv", "id,region,area,price\n1,west,1,2\n2,NA,1,2\n");
  EXPECT_TRUE(says(message_of<DataError>([&] { TableDataModule(o).setup(Stage::fit); }),
                   {"gap.csv, line 3, column 2 (region)", "the group is missing"}));
  o = options();
  o.group = "country";
  EXPECT_TRUE(says(message_of<DataError>([&] { TableDataModule(o).setup(Stage::fit); }),
                   {"country", "'region'"}));
  o = options();
  o.features = {"area", "region"};
  EXPECT_TRUE(says(message_of<ConfigError>([&] { TableDataModule(o).setup(Stage::fit); }),
                   {"region", "column of groups"}));
  TableDataModule data(options());
  ManyRegressions few({.loss = "squared", .groups = 2});
  EXPECT_TRUE(says(message_of<ConfigError>([&] { fit(few, data); }),
                   {"groups = 2", "3 groups", "leave out groups"}));
}

TEST_F(TableGroups, get_regressions_each_as_if_it_were_alone_in_memory_and_from_a_stream) {
  TableDataModule data(options());
  const auto rows = read_all(data.train_dataloader());
  for (const bool stream : {false, true}) {
    ManyRegressions many({.loss = "squared", .l2_strengths = {0.5}, .tol = 1e-9});
    TableDataModule own(options(stream));
    const auto history = fit(many, own);
    EXPECT_TRUE(says(history.stop_reason, {"converged"}));
    ASSERT_EQ(many.named_parameters()["weight"].size(0), 3);
    EXPECT_EQ(many.hyper_parameters().at("groups").as_int(), 3);
    for (int64_t g = 0; g < 3; ++g) {
      class Group final : public DataModule {
       public:
        explicit Group(NamedTensors tensors)
            : set_(std::make_shared<TensorDataset>(std::move(tensors))) {}
        DataLoaders train_dataloader() override { return DataLoader(set_, {.batch_size = 8}); }

       private:
        std::shared_ptr<TensorDataset> set_;
      };
      const auto mine = rows["group"].eq(g).nonzero().squeeze(1);
      Group alone({{"input", rows.input().index_select(0, mine)},
                   {"target", rows.target().index_select(0, mine)}});
      LinearRegression one({.optimizer = "newton-cholesky", .l2_strength = 0.5});
      fit(one, alone);
      const auto weight = one.named_parameters()["linear.weight"].item<double>();
      EXPECT_NEAR(many.named_parameters()["weight"][g].item<double>(), weight, 1e-7);
      EXPECT_NEAR(many.named_parameters()["bias"][g].item<double>(),
                  one.named_parameters()["linear.bias"].item<double>(), 1e-6);
    }
    const auto predicted = many.predict(rows);
    EXPECT_EQ(predicted.back().first, "group");
    EXPECT_TRUE(torch::equal(predicted.back().second, rows["group"]));
  }
}

}  // namespace levin::table_groups_test
