# birthmark-sma: the manufacturer authority.
import ./server.nix {
  daemon = "sma";
  port = 8001;
  about = "the Birthmark manufacturer authority";
  credentials.authority-vault = "what everything secret in the database is encrypted under; at least 16 bytes";
  databaseSettings = name: { database = "postgres:///${name}?host=/run/postgresql"; };
  behind = networks: { trusted_proxies = networks; };
  backupCommand = "backup --to";
  # A thousand questions with their certificates.
  bodySize = "5m";
}
