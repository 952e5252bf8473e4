# birthmark-sma: the manufacturer authority.
import ./server.nix {
  daemon = "sma";
  port = 8001;
  about = "the Birthmark manufacturer authority";
  credentials.authority-vault = "what everything secret in the database is encrypted under; at least 16 bytes";
  generated = [ "authority-vault" ];
  databaseSettings = name: { database = "postgres:///${name}?host=/run/postgresql"; };
  behind = networks: { trusted_proxies = networks; };
  backupCommand = "backup --to";
  drillSettings = name: folder: onPostgresql: {
    database =
      if onPostgresql then
        "postgres:///${name}-drill?host=/run/postgresql"
      else
        "sqlite://${folder}/db/authority.db";
    # Or the commands would ask the authority that runs.
    control = "${folder}/db/control.sock";
  };
  # Whoever restores an authority has opened its vault, and the chain of its audit is looked through.
  drillCommands = file: [
    "restore --from ${file}"
    "audit verify"
  ];
  # A thousand questions with their certificates.
  bodySize = "5m";
}
