#include <levin/cli/command_line.h>
#include <levin/serving/commands/serving_commands.h>

int main(int argc, char** argv) {
  return levin::run_command_line(argc, argv, levin::shipped_classes(), levin::serving_commands());
}
