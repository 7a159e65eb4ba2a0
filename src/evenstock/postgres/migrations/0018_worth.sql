-- What a unit is worth to the retailer, so that exceptions can say what is at stake in money (D10).

alter table items add column unit_value numeric, add column value_currency text collate "C",
    add constraint value_has_currency check ((unit_value is null) = (value_currency is null) and unit_value >= 0);
comment on column items.unit_value is 'What one base unit is worth, in `value_currency` (ISO 4217); it moves no stock and is shown to no channel.';
