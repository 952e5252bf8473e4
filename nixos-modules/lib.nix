# What every daemon's module shares: the settings file and its check, secrets as paths, and the unit they become part of.
{ lib, pkgs }:

let
  format = pkgs.formats.toml { };

  # The daemon itself reads its file at build time. When the machine is of another kind than the builder, the program cannot
  # run here; then the builder's own build of the same source does the reading, so a cross-built card is checked all the same.
  checker =
    package:
    if pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform then
      package
    else
      pkgs.buildPackages.${package.meta.mainProgram};

  # null and empty parts are left out: TOML has no null.
  prune = lib.filterAttrsRecursive (_: value: value != null);
  # The port of an address as systemd's ListenStream takes it; null for a socket in the file system, and for what names
  # no port.
  portOf =
    address:
    let
      parts = builtins.match "(.*:)?([0-9]{1,5})" address;
    in
    if parts == null then null else lib.toIntBase10 (lib.last parts);
in
{
  inherit portOf;
  settingsType = format.type;

  hasPort = address: portOf address != null;

  # Whether a name or an address is one of those that stand in examples (RFC 2606): nobody has it, and nobody will.
  isPlaceholder =
    text:
    text != null
    &&
      builtins.match ".*[.@/](example|invalid|test|localhost|example\\.(com|net|org))([:/].*)?" ".${text}"
      != null;

  # The sandbox that the daemons share, for the units of our own beside them. Not what follows it in that file: how a daemon
  # shows that it lives, and when it is started again.
  confined =
    let
      lines = lib.filter (line: builtins.match "[A-Z][A-Za-z]*=.*" line != null) (
        lib.splitString "\n" (builtins.readFile ../systemd/birthmark-.service.d/50-sandbox.conf)
      );
      settings = map (line: {
        name = lib.head (lib.splitString "=" line);
        value = lib.concatStringsSep "=" (lib.tail (lib.splitString "=" line));
      }) lines;
      ofDaemons = [
        "NotifyAccess"
        "WatchdogSec"
        "TimeoutStartSec"
        "TimeoutStopSec"
        "Restart"
        "RestartPreventExitStatus"
        "RestartSec"
        "RestartSteps"
        "RestartMaxDelaySec"
        "OOMPolicy"
      ];
    in
    # The same setting twice adds to it.
    removeAttrs (lib.mapAttrs (_: map (setting: setting.value)) (
      lib.groupBy (setting: setting.name) settings
    )) ofDaemons;

  # Where a daemon is asked on this machine that listens on this address.
  urlOf =
    address:
    let
      port = toString (portOf address);
    in
    if lib.hasPrefix "/" address then
      "unix:${address}"
    else if lib.hasPrefix "[" address && !lib.hasPrefix "[::]" address then
      "http://${address}"
    else if lib.hasPrefix "[::]" address then
      "http://[::1]:${port}"
    else if lib.hasPrefix "0.0.0.0" address || !lib.hasInfix ":" address then
      "http://127.0.0.1:${port}"
    else
      "http://${address}";

  # An address as nginx's proxy_pass takes it.
  proxyTo =
    address: if lib.hasPrefix "/" address then "http://unix:${address}:" else "http://${address}";

  # The daemon's file, refused at build time with the daemon's own words.
  checkedFile =
    {
      daemon,
      package,
      settings,
    }:
    let
      raw = format.generate "${daemon}.toml" (prune settings);
    in
    pkgs.runCommand "birthmark-${daemon}.toml" { } ''
      cp ${raw} ${daemon}.toml
      ${lib.getExe (checker package)} --config ${daemon}.toml check-config
      install -m 0444 ${daemon}.toml "$out"
    '';

  credentialsOption =
    names:
    lib.mkOption {
      # A path without quotes is one of this flake, and so in the store: the assertion below says so.
      type = lib.types.attrsOf (lib.types.coercedTo lib.types.path toString lib.types.str);
      default = { };
      example = lib.mapAttrs (name: _: "/run/secrets/${name}") names;
      description = ''
        Secrets, each a path outside the Nix store that only root may read. systemd hands them to the daemon as credentials;
        they are never copied into the store, the environment or the settings.

        ${lib.concatStringsSep "\n" (lib.mapAttrsToList (name: about: "- `${name}`: ${about}") names)}
      '';
    };

  # Sentences for the mistakes that would put a secret where everyone can read it.
  credentialAssertions =
    daemon: names: credentials:
    lib.concatLists (
      lib.mapAttrsToList (name: path: [
        {
          # A validator has a token of each authority that gave it one, under the authority's name.
          assertion = lib.hasAttr name names || lib.hasPrefix "birthmark-${daemon}.token." name;
          message = "services.birthmark.${daemon}.credentials.${name}: birthmark-${daemon} reads no credential of that name; it knows ${
            if names == { } then "none" else lib.concatStringsSep ", " (lib.attrNames names)
          }.";
        }
        {
          assertion = lib.hasPrefix "/" path && !(lib.hasPrefix builtins.storeDir path);
          message = "services.birthmark.${daemon}.credentials.${name} = \"${path}\": give an absolute path outside the Nix store, in quotes. What is in the store, everyone can read.";
        }
      ]) credentials
    );

  # The unit file comes with the package and is the same on Debian; this adds what this machine knows.
  unit =
    {
      file,
      credentials ? { },
      starts ? true,
    }:
    {
      wantedBy = lib.mkIf starts [ "multi-user.target" ];
      restartTriggers = [ file ];
      # Restarted in one step. Stopped first, a switch would stop the socket with it, and refuse whoever comes meanwhile.
      stopIfChanged = false;
      serviceConfig.LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") credentials;
    };

  # The same for a command that looks at what the daemon has: what was given, and the rest from where systemd looks.
  credentialsOf = daemon: known: given: {
    LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") given;
    ImportCredential = map (name: "birthmark-${daemon}.${name}:${name}") (
      lib.filter (name: !given ? ${name}) known
    );
  };

  account = groups: {
    isSystemUser = true;
    extraGroups = groups;
  };
}
