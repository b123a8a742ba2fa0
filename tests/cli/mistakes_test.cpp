#include "cli/program.h"

#include "framework/message_of.h"

// What the program says to a user who made a mistake: what is wrong, where, and what is nearest to
// it. Each line of the lists below is a command line, with environment variables before it if there
// are any, and the parts of the message. All of them run in this process.

namespace levin::test::mistakes_test {

struct Mistake {
  std::string command;
  int status;
  std::initializer_list<std::string_view> parts;
};

class Mistakes : public ProgramTest {
 protected:
  Mistakes() : home_(fs::current_path()) {
    write("iris.yaml",
          "trainer: {enable_progress_bar: false, enable_model_summary: false, logger: false}\n"
          "model: {class_path: LogisticRegression, init_args: {in_features: 4, num_classes: 3}}\n"
          "data: IrisDataModule\n");
    write("good.csv", "a,b,y\n1,2,0\n3,4,1\n5,6,1\n7,8,0\n");
    fs::current_path(folder_.path());
  }
  ~Mistakes() override { fs::current_path(home_); }

  /// Runs a command line, which may begin with variables: "NAME=value levin fit".
  Outcome run_here(const std::string& command) {
    std::istringstream words(command);
    std::vector<std::string> arguments, variables;
    for (std::string word; words >> word;) {
      const size_t equals = word.find('=');
      if (arguments.empty() && equals != std::string::npos) {
        variables.push_back(word.substr(0, equals));
        ::setenv(variables.back().c_str(), word.c_str() + equals + 1, 1);
      } else {
        arguments.push_back(word);
      }
    }
    std::vector<const char*> argv;
    for (const auto& each : arguments) argv.push_back(each.c_str());
    argv.push_back(nullptr);
    Commands commands = serving_commands();
    for (auto& each : tuning_commands()) commands.push_back(std::move(each));
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.status = run_command_line(static_cast<int>(arguments.size()), argv.data(),
                                      shipped_classes(), commands);
    outcome.err = ::testing::internal::GetCapturedStderr();
    outcome.out = ::testing::internal::GetCapturedStdout();
    for (const auto& name : variables) ::unsetenv(name.c_str());
    return outcome;
  }

  void expect_messages(const std::vector<Mistake>& mistakes) {
    for (const auto& each : mistakes) {
      SCOPED_TRACE(each.command);
      const Outcome outcome = run_here(each.command);
      EXPECT_EQ(outcome.status, each.status) << outcome.err;
      const size_t line = outcome.err.find("error: ");
      ASSERT_NE(line, std::string::npos) << outcome.err;
      EXPECT_TRUE(says(outcome.err.substr(line), each.parts));
      EXPECT_EQ(outcome.out, "");
    }
  }

  fs::path home_;
};

TEST_F(Mistakes, of_words_and_options) {
  expect_messages({
      {"levin fti", 2, {"unknown command 'fti'", "did you mean 'fit'?"}},
      {"levin fit --confg iris.yaml", 2, {"unknown option '--confg'", "'--config'?"}},
      {"levin fit --max_epochs=3", 2, {"'--max_epochs'", "'--trainer.max_epochs'?"}},
      {"levin fit iris.yaml", 2, {"unexpected word 'iris.yaml'", "--config iris.yaml"}},
      {"levin fit --config", 2, {"--config needs a value", "--config=VALUE"}},
      {"levin fit --json=yes", 2, {"--json takes no value", "'yes'"}},
      {"levin fit --output=x.npz", 2, {"--output", "`levin predict`", "fit doesn't take it"}},
      {"levin list modles", 2, {"unknown kind 'modles'", "'models'?"}},
      {"levin -v", 2, {"unknown option '-v'", "'--version'?"}},
      {"levin fit -config iris.yaml", 2, {"unknown option '-config'", "'--config'?"}},
      {"levin fit -trainer.max_epochs=3", 2, {"'--trainer.max_epochs'?"}},
      {"levin help MPL", 2, {"unknown class or command 'MPL'", "'MLP'?"}},
      {"levin help mlp", 2, {"'mlp'", "'MLP'?"}},
      {"levin help fti", 2, {"'fti'", "'fit'?"}},
      {"levin completion fsh", 2, {"unknown shell 'fsh'", "'zsh'?"}},
      {"levin serve a.ckpt --prt 8000", 2, {"unknown option '--prt'", "'--port'?"}},
  });
}

TEST_F(Mistakes, of_plugins_pictures_and_new_files) {
  write("libmine.so", "");
  fs::create_directories("run");
  write("run/metrics.csv", "epoch,step,val_loss\n0,1,0.5\n1,2,0.4\n");
  const std::string without_function = LEVIN_BINARY_DIR "/lib/liblevin.so";
  expect_messages({
      {"levin list --plugin libmin.so", 2, {"--plugin libmin.so", "no such file", "libmine.so'?"}},
      {"LEVIN_PLUGIN=libmin.so levin list", 2, {"LEVIN_PLUGIN: libmin.so", "libmine.so'?"}},
      {"levin list --plugin good.csv", 2, {"--plugin good.csv", "isn't a shared library"}},
      {"levin list --plugin run", 2, {"--plugin run", "it is a folder"}},
      {"levin list --plugin " + without_function, 2, {"no function levin_plugin", "plugin.h"}},
      {"levin plot rum", 1, {"can't read 'rum'", "no such file or folder"}},
      {"levin plot run --kind curvs", 2, {"unknown kind 'curvs'", "'curves'?"}},
      {"levin plot run --metric val_los", 2, {"unknown metric 'val_los'", "'val_loss'?"}},
      {"levin plot run --output curves.gif", 2, {"--output", "curves.gif", ".svg or .png"}},
      {"levin plot run --kind roc --split tst", 2, {"unknown split 'tst'", "'test'?"}},
      {"levin plot", 2, {"takes the folders of runs", "levin plot --help"}},
      {"levin report rum", 1, {"no folder 'rum'", "levin_logs/version_0"}},
      {"levin new modle Net", 2, {"unknown kind 'modle'", "'model'?"}},
      {"levin new model 3x", 2, {"'3x'", "name of a class in C++", "'My3x'?"}},
  });
}

TEST_F(Mistakes, in_files_of_settings) {
  write("key.yaml", "trainer:\n  max_epochs: 3\n  log_evry_n_steps: 5\n");
  write("section.yaml", "trainr:\n  max_epochs: 3\n");
  write("class_key.yaml", "model:\n  class_pth: MLP\n");
  write("class.yaml", "model:\n  class_path: MPL\n");
  write("setting.yaml", "model:\n  class_path: MLP\n  init_args:\n    hiden_sizes: [3]\n");
  write("type.yaml", "trainer:\n  max_epochs: many\n");
  write("range.yaml", "trainer:\n\n  max_epochs: -3\n");
  write("callback.yaml", "trainer:\n  callbacks:\n    - class_path: EarlyStoping\n");
  write("map.yaml", "model:\n  MLP:\n    hidden_sizes: [3]\n");
  write("late.yaml", "data:\n  class_path: IrisDataModule\n  init_args:\n    batch_size: 0\n");
  write("device.yaml", "trainer:\n  accelerator: gpuu\n");
  write("link.yaml", "links:\n  data.batch_size: trainer.max_epoch\n");
  write("list.yaml", "- trainer\n");
  write("open.yaml", "trainer:\n  max_epochs: [3\n");
  write("tab.yaml", "trainer:\n\tmax_epochs: 3\n");
  write("indent.yaml", "trainer:\n  max_epochs: 3\n    max_steps: 3\n");
  write("twice.yaml", "trainer:\n  max_epochs: 3\n  max_epochs: 4\n");
  const std::string fit = "levin fit --config iris.yaml --config ";
  expect_messages({
      {fit + "key.yaml", 2, {"key.yaml:3: trainer", "'log_evry_n_steps'", "'log_every_n_steps'?"}},
      {fit + "section.yaml", 2, {"section.yaml:1", "unknown key 'trainr'", "'trainer'?"}},
      {fit + "class_key.yaml", 2, {"class_key.yaml:2: model", "'class_pth'", "'class_path'?"}},
      {fit + "class.yaml", 2, {"class.yaml:2: model", "unknown class 'MPL'", "'MLP'?"}},
      {fit + "setting.yaml", 2, {"setting.yaml:4: model", "'hiden_sizes'", "'hidden_sizes'?"}},
      {fit + "map.yaml", 2, {"map.yaml:2: model", "'MLP' is a class", "class_path: MLP"}},
      {"levin fit --data IrisDataModule --config map.yaml", 2, {"map.yaml:2", "class_path: MLP"}},
      {fit + "type.yaml", 2, {"type.yaml:2: trainer.max_epochs", "many", "expected int or null"}},
      {fit + "range.yaml", 2, {"range.yaml:3: trainer.max_epochs = -3", "at least -1"}},
      {fit + "callback.yaml", 2, {"callback.yaml:3", "'EarlyStoping'", "'EarlyStopping'?"}},
      {fit + "late.yaml", 2, {"late.yaml:4: data.batch_size = 0", "at least 1"}},
      {fit + "device.yaml", 2, {"device.yaml:2: trainer", "'gpuu'", "'gpu'?"}},
      {fit + "link.yaml", 2, {"link.yaml:2: links.data.batch_size", "'max_epochs'?"}},
      {fit + "list.yaml", 2, {"list.yaml:1", "[\"trainer\"]", "`key: value`"}},
      {fit + "open.yaml", 2, {"open.yaml:3", "a list that [ began isn't closed", "add ]"}},
      {fit + "tab.yaml", 2, {"tab.yaml:2", "indented by a tab", "with spaces"}},
      {fit + "indent.yaml", 2, {"indent.yaml:3", "`key: value` can't stand here", "indent"}},
      {fit + "twice.yaml", 2, {"twice.yaml:3", "'max_epochs' is there twice", "line 2"}},
      {"levin fit --config iris.yml", 2, {"the configuration", "'iris.yml'", "'iris.yaml'?"}},
      {"levin fit --config .", 2, {"the configuration", "'.'", "directory"}},
      {"levin fit --config configs/iris.yaml", 2, {"no folder 'configs' either"}},
  });
}

TEST_F(Mistakes, in_settings_on_the_command_line) {
  const std::string fit = "levin fit --config iris.yaml ";
  expect_messages({
      {fit + "--trainer.max_epoch=3", 2, {"command line: trainer", "'max_epochs'?"}},
      {fit + "--trainer.max_epochs=many", 2, {"trainer.max_epochs = \"many\"", "expected int"}},
      {fit + "--trainer.max_epochs", 2, {"--trainer.max_epochs needs a value", "int or null"}},
      {fit + "--trainer.max_epochs=", 2, {"--trainer.max_epochs needs a value", "int or null"}},
      {fit + "--trainer.callbacks+=", 2, {"--trainer.callbacks needs a value", "of a class"}},
      {fit + "--model.metrics=accuracy", 2, {"expected list of name", "as [accuracy]"}},
      {fit + "--optimizer SGD --optimizer.init_args.groups=3", 2, {"optimizer.groups = 3", "list"}},
      {fit + "--data.batch_size --json", 2, {"--data.batch_size needs a value", "VALUE, int"}},
      {fit + "--trainer.default_root_dir", 2, {"--trainer.default_root_dir needs a value"}},
      {fit + "--trainer.callbacks", 2, {"--trainer.callbacks needs a value", "of a class"}},
      {fit + "--links.data.batch_size", 2, {"--links.data.batch_size needs a value"}},
      {fit + "--trainer.limit_train_batches=1.5", 2, {"= 1.5", "between 0.0 and 1.0"}},
      {fit + "--trainer.accelerator=gpuu", 2, {"command line: trainer", "'gpuu'", "'gpu'?"}},
      {fit + "--trainer.devices=two", 2, {"command line: trainer.devices", "\"two\"", "auto"}},
      {fit + "--trainer.strategy=dpp", 2, {"command line: trainer", "'dpp'", "'ddp'?"}},
      {fit + "--trainer.logger=CsvLoger", 2, {"trainer.logger", "'CsvLoger'", "'CsvLogger'?"}},
      {fit + "--trainer.logger=CSVLoger", 2, {"trainer.logger", "'CSVLoger'", "'CsvLogger'?"}},
      {fit + "--trainer.callbacks+=EarlyStopping", 2, {"EarlyStopping.monitor", "val_loss"}},
      {fit + "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val_loss "
             "--trainer.callbacks.mode=minn",
       2,
       {"EarlyStopping.mode = minn", "min or max"}},
      {fit + "--model LogisticRegresion", 2, {"model", "'LogisticRegression'?"}},
      {fit + "--model.in_features=-4", 2, {"model.in_features = -4", "at least 1, or 0"}},
      {fit + "--data Iris", 2, {"data", "unknown class 'Iris'", "'IrisDataModule'?"}},
      {fit + "--data.batch_size=0", 2, {"command line: data.batch_size = 0", "at least 1"}},
      {fit + "--data.val_split=1.5", 2, {"command line: data.val_split = 1.5", "from 0 to 1"}},
      {fit + "--optimizer Adm", 2, {"optimizer", "unknown class 'Adm'", "'Adam'?"}},
      {fit + "--optimizer Adam --optimizer.lr=0.1", 2, {"'lr'", "'learning_rate'?"}},
      {fit + "--optimizer SGD --optimizer.learning_rate=-1", 2, {"learning_rate = -1", "least 0"}},
      {fit + "--optimizer SGD --lr_scheduler StepLr", 2, {"'StepLr'", "'StepLR'?"}},
      {fit + "--lr_scheduler StepLR", 2, {"lr_scheduler needs an optimizer", "`optimizer:`"}},
      {fit + "--links.data.batch_sise=seed_everything", 2, {"links.data", "'batch_size'?"}},
      {fit + "--seed_everything=abc", 2, {"seed_everything = \"abc\"", "whole number"}},
      {"levin fit --model MLP", 2, {"no data is named", "--data CLASS"}},
      {"levin fit --data IrisDataModule", 2, {"no model is named", "--model CLASS"}},
      {"LEVIN_TRANER__MAX_EPOCHS=5 " + fit, 2, {"LEVIN_TRANER__MAX_EPOCHS", "'LEVIN_TRAINER'?"}},
      {"LEVIN_TRAINER__MAX_EPOCS=5 " + fit, 2, {"LEVIN_TRAINER__MAX_EPOCS", "'max_epochs'?"}},
      {"LEVIN_TRAINER__MAX_EPOCHS=x " + fit, 2, {"LEVIN_TRAINER__MAX_EPOCHS", "expected int"}},
      {"LEVIN_CONFIG=iris.yml levin fit", 2, {"the configuration", "'iris.yml'", "'iris.yaml'?"}},
  });
}

TEST_F(Mistakes, in_data_and_in_models_that_do_not_fit_them) {
  write("bad.npy", "hello");
  write("hole.csv", "a,b,y\n1,2,0\n3,,1\n");
  write("text.csv", "a,b,y\n1,2,0\n3,x,1\n");
  write("short.csv", "a,b,y\n1,2,0\n3,1\n");
  const std::string fit = "levin fit --config iris.yaml ";
  const std::string table =
      fit +
      "--data TableDataModule --data.val_split=0 --data.test_split=0 --data.target=y --data.x=";
  expect_messages({
      {fit + "--data ArrayDataModule --data.x=bed.npy", 1, {"'bed.npy'", "'bad.npy'?"}},
      {fit + "--data ArrayDataModule --data.x=bad.npi", 1, {"'bad.npi'", ".npz", "'bad.npy'?"}},
      {fit + "--data ArrayDataModule --data.x=rows.cvs", 1, {"no such file", "ending '.csv'?"}},
      {fit + "--data StreamDataModule --data.train=[bad.npi]",
       1,
       {"'bad.npi'", ".lvb", "'bad.npy'?"}},
      {fit + "--data SparseDataModule --data.train=[bad.svn]",
       1,
       {"'bad.svn'", ".vw", "no such file"}},
      {fit + "--data ArrayDataModule --data.x=bad.npy", 1, {"'bad.npy'", ".npy file", "NUMPY"}},
      {table + "god.csv", 1, {"can't read 'god.csv'", "did you mean 'good.csv'?"}},
      {table + "good.csv --data.target=z", 1, {"good.csv has no column 'z'", "'a', 'b', 'y'"}},
      {table + "good.csv --data.target=z --data.val_split=0.01", 1, {"no column 'z'"}},
      {table + "good.csv --data.weights=w --data.val_split=0.01", 1, {"no column 'w'", "weights"}},
      {table + "good.csv --data.exclude=[c] --data.val_split=0.01", 1, {"good.csv", "'c'"}},
      {table + "short.csv", 1, {"short.csv, line 3", "2 cells", "has 3"}},
      {fit + "--model.in_features=5", 1, {"4 features", "in_features = 5", "set in_features = 4"}},
      {fit + "--model.num_classes=2", 1, {"target, row", "num_classes = 2", "from 0 to 1"}},
      {fit + "--data MNISTDataModule --data.data_dir=no --data.download=false",
       1,
       {"train-images-idx3-ubyte is missing", "'no'", "download = true"}},
  });
}

TEST_F(Mistakes, in_checkpoints_results_and_monitors) {
  write("bad.ckpt", "hello");
  const std::string test = "levin test --config iris.yaml --ckpt-path=";
  expect_messages({
      {test + "last", 1, {"no run there has checkpoints"}},
      {test + "bad.ckp", 1, {"can't read 'bad.ckp'", "did you mean 'bad.ckpt'?"}},
      {test + "bad.ckpt", 1, {"'bad.ckpt' isn't a whole checkpoint", "5 bytes", "earlier one"}},
      {test + "iris.yaml",
       1,
       {"can't read 'iris.yaml'", "it is text, not a checkpoint", "checkpoints/"}},
      {"levin predict --config iris.yaml --output=p.xyz", 2, {"p.xyz", ".csv, .npz or .npy"}},
      {"levin predict --config iris.yaml --output=p.cvs", 2, {"p.cvs", "did you mean '.csv'?"}},
      {"levin export bad.ckp --output m.onnx", 1, {"'bad.ckp'", "'bad.ckpt'?"}},
      {"levin convert god.csv --output out", 1, {"'god.csv'", "'good.csv'?"}},
      {"levin fit --config iris.yaml --trainer.max_epochs=1 --trainer.enable_checkpointing=false "
       "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val_los",
       1,
       {"EarlyStopping needs the metric 'val_los'", "did you mean 'val_loss'?"}},
  });
}

TEST_F(Mistakes, in_searches_and_services) {
  write("order.yaml", "model.learning_rate: {low: 1, high: 0.1}\n");
  write("fine.yaml", "model.learning_rate: {low: 0.1, high: 1}\n");
  write("space.yaml", "model.learning_rat: {low: 0.1, high: 1}\n");
  write("word.yaml", "\nmodel.learning_rate: {low: 0.1, hihg: 1}\n");
  write("bad.ckpt", "hello");
  const std::string tune = "levin tune --config iris.yaml --metric val_loss --trials 1 --search ";
  expect_messages({
      {tune + "spce.yaml", 2, {"the search space", "'spce.yaml'", "'space.yaml'?"}},
      {tune + "order.yaml", 2, {"order.yaml", "line 1", "model.learning_rate", "0.1"}},
      {tune + "space.yaml", 2, {"learning_rat", "'learning_rate'?"}},
      {tune + "word.yaml", 2, {"word.yaml", "line 2", "'hihg'", "'high'?"}},
      {tune + "fine.yaml --sampler tpee", 2, {"tpee", "'tpe'?"}},
      {tune + "fine.yaml --trainer.max_epoch=3", 2, {"error: command line: trainer", "epochs'?"}},
      {"levin tune shw fine.yaml", 2, {"unknown verb 'shw'", "'show'?"}},
      {"levin tune show fin.yaml", 2, {"fin.yaml: there is no such file", "'fine.yaml'?"}},
      {"levin tune --config iris.yaml --metric val_loss", 2, {"no search space", "--search FILE"}},
      {"levin sweep --config iris.yaml", 2, {"several values", "--model.learning_rate=0.01,0.1"}},
      {"levin serve", 2, {"serve takes a model", "NAME=PATH"}},
      {"levin serve bad.ckp", 1, {"'bad.ckp'", "'bad.ckpt'?"}},
      {"levin serve bad.ckpt", 1, {"'bad.ckpt' isn't a whole checkpoint", "5 bytes"}},
      {"levin serve bad.ckpt --port 99999", 2, {"port = 99999", "65535"}},
      {"levin serve bad.ckpt --port=http", 2, {"port = \"http\"", "expected int"}},
      {"levin serve bad.ckpt --memory=1XB", 2, {"memory = 1XB", "64MB, 1.5GB or 2GiB"}},
      {"levin serve bad.ckpt --device=cuda:77", 2, {"cuda:77", "this machine has: "}},
      {"levin bench-serve", 2, {"takes one URL", "http://127.0.0.1:8000"}},
      {"levin bench-serve http://127.0.0.1:1/", 1, {"127.0.0.1:1", "start the server"}},
      {"levin runs nowhere", 1, {"no runs in 'nowhere'", "levin_logs"}},
  });
}

}  // namespace levin::test::mistakes_test
