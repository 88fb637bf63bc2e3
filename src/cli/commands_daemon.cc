#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/client.h"
#include "cli/commands.h"
#include "cli/status_view.h"

namespace merlon::cli {
namespace {

using control::Command;
using control::Request;

Result<nlohmann::json> ask(const Session& session, const Request& request) {
  MERLON_TRY(Client client, Client::connect(session.socket()));
  return client.ask(request);
}

void run_simple(Session& session, const Request& request, const std::string& done) {
  const auto answer = ask(session, request);
  if (!answer) return session.fail(answer.error());
  for (const auto& warning : answer->value("warnings", nlohmann::json::array()))
    std::cerr << "merlon: warning: " << warning.get<std::string>() << "\n";
  if (!done.empty()) std::cout << done << "\n";
}

// "NAME" or "NAME.CHILD".
void split_name(const std::string& name, Request& request) {
  const auto dot = name.find('.');
  request.connection = name.substr(0, dot);
  if (dot != std::string::npos) request.child = name.substr(dot + 1);
}

// The status of one connection alone; all of it where no name is given.
Result<> keep_only(nlohmann::json& status, const std::string& name) {
  if (name.empty()) return {};
  for (nlohmann::json& connection : status["connections"]) {
    if (connection.value("name", "") != name) continue;
    status = {{"ok", true}, {"connections", nlohmann::json::array({std::move(connection)})}};
    return {};
  }
  return fail(ErrorCode::kNotFound, "no connection is called \"{}\"; `merlon status` lists them", name);
}

void add_status(CLI::App& app, Session& session) {
  struct Options {
    bool json = false;
    std::string connection;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("status", "Connections, IKE SAs, Child SAs, traffic, lifetimes left, last errors");
  command->add_flag("--json", options->json, "For programs");
  command->add_option("NAME", options->connection, "Only this connection");
  command->callback([options, &session] {
    auto answer = ask(session, Request{});
    if (!answer) return session.fail(answer.error());
    if (const auto found = keep_only(*answer, options->connection); !found)
      return session.fail(found.error());
    if (options->json) {
      std::cout << answer->dump(2) << "\n";
    } else {
      std::cout << status_text(*answer, options->connection, isatty(STDOUT_FILENO) == 1);
    }
  });
}

void add_up(CLI::App& app, Session& session) {
  const auto name = std::make_shared<std::string>();
  const auto no_wait = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("up", "Bring a connection, or one child of it, up, and say how it went");
  command->add_option("NAME", *name, "Connection, or CONNECTION.CHILD")->required();
  command->add_flag("--no-wait", *no_wait, "Do not wait for the outcome");
  command->callback([name, no_wait, &session] {
    Request request;
    request.command = Command::kUp;
    request.wait = !*no_wait;
    split_name(*name, request);
    run_simple(session, request, *no_wait ? "" : *name + " is up");
  });
}

void add_down(CLI::App& app, Session& session) {
  const auto name = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("down", "Take a connection, or one child of it, down, and keep it down");
  command->add_option("NAME", *name, "Connection, or CONNECTION.CHILD")->required();
  command->callback([name, &session] {
    Request request;
    request.command = Command::kDown;
    split_name(*name, request);
    run_simple(session, request, *name + " is going down");
  });
}

void add_rekey(CLI::App& app, Session& session) {
  const auto name = std::make_shared<std::string>();
  const auto ike = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("rekey", "Negotiate new keys now");
  command->add_option("NAME", *name, "Connection, or CONNECTION.CHILD")->required();
  command->add_flag("--ike", *ike, "The IKE SA instead of the Child SAs");
  command->callback([name, ike, &session] {
    Request request;
    request.command = Command::kRekey;
    request.ike = *ike;
    split_name(*name, request);
    run_simple(session, request, "rekeying " + *name);
  });
}

void add_plain(CLI::App& app, Session& session, const char* name, const char* help, Command what,
               const char* done) {
  app.add_subcommand(name, help)->callback([what, done, &session] {
    Request request;
    request.command = what;
    run_simple(session, request, done);
  });
}

}  // namespace

void add_daemon_commands(CLI::App& app, Session& session) {
  add_status(app, session);
  add_up(app, session);
  add_down(app, session);
  add_rekey(app, session);
  add_plain(app, session, "reload", "Read the configuration again; a bad one changes nothing",
            Command::kReload, "reloaded");
  add_plain(app, session, "stop", "Stop merlond cleanly", Command::kStop, "merlond is stopping");
  app.add_subcommand("metrics", "What Prometheus would be shown")->callback([&session] {
    Request request;
    request.command = Command::kMetrics;
    const auto answer = ask(session, request);
    if (!answer) return session.fail(answer.error());
    std::cout << answer->value("text", "");
  });
}

}  // namespace merlon::cli
