#include <utility>

#include <levin/cli/command_line.h>
#include <levin/serving/commands/serving_commands.h>
#include <levin/tuning/commands/sweep_command.h>
#include <levin/tuning/commands/tuning_commands.h>

int main(int argc, char** argv) {
  levin::Commands commands = levin::serving_commands();
  for (auto& each : levin::tuning_commands()) commands.push_back(std::move(each));
  const auto words = levin::with_sweep(argc, argv);
  return levin::run_command_line(static_cast<int>(words.size()), words.data(),
                                 levin::shipped_classes(), commands);
}
